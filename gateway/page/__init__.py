"""The page at `/`: ask with a picture, see the pipeline and where the last request's time went."""
