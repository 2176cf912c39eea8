"""Make a face-recognition model better from a person's answers about pairs of faces."""

import os

__version__ = "0.1.0"

# Pixels that OpenCV unpacks of one picture, 200 MB of them; it reads this once, when it is imported.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(1 << 26))
