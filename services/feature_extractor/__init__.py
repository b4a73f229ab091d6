"""The backbone as a service: pictures or pixels in, features out."""
