"""What an encoded picture's file says of itself, read without a decoder: size, orientation, cost, and the parts that
hold pixels. Gateway and stages read it with the same code."""
