"""What runs a model: LiteRT, TensorFlow, pools of them, and how they share the processors."""
