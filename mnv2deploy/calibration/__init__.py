"""Pictures to calibrate quantization with: recipes for them, checks of them, and the hash an artifact records."""
