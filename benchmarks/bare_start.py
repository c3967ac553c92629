"""The least a program must do to run a model on a picture: what the picture commands are timed against."""

import sys

import cv2
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
(entry,) = session.get_inputs()
height, width = entry.shape[2:]
image = cv2.resize(cv2.imread(sys.argv[2]), (width, height))[:, :, ::-1]
tensor = ((image.astype(np.float32) - 127.5) / 127.5).transpose(2, 0, 1)[None]
session.run(None, {entry.name: np.ascontiguousarray(tensor)})
