"""The least a program must do to run a detector on a picture: what `mnv2deploy detect` is timed against."""

import sys

import cv2
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
image = cv2.resize(cv2.imread(sys.argv[2]), (300, 300))[:, :, ::-1]
tensor = ((image.astype(np.float32) - 127.5) / 127.5).transpose(2, 0, 1)[None]
session.run(None, {"image": np.ascontiguousarray(tensor)})
