// Runs the DeepLabv3-MobileNetV2 VOC TensorFlow.js graph model on raw RGB pictures of at most 513x513.
//
//   node run_tfjs_deeplab.mjs BACKEND MODEL_DIR FOLDER NAME=HEIGHT,WIDTH...
//
// BACKEND is cpu or wasm; @tensorflow/tfjs-* are taken from the current folder's node_modules. FOLDER/NAME.rgb is read;
// FOLDER/NAME.KEY.f32 is written for every output (little-endian float32).
import path from "node:path";
import { loadModel, readPicture, versions, writeFloats } from "./tfjs.mjs";

const [backend, modelDir, folder, ...pictures] = process.argv.slice(2);
const model = await loadModel(backend, modelDir);

const NODES = {
  normalised: "sub_7", // the padded input of the first convolution
  logits: "logits/semantic/BiasAdd", // 65x65, before any resize
  upsampled: "ResizeBilinear_3", // 513x513
  mask: "ArgMax", // 513x513
};

for (const picture of pictures) {
  const [name, height, width] = picture.split(/[=,]/);
  const image = readPicture(path.join(folder, `${name}.rgb`), Number(height), Number(width));
  const outputs = model.execute({ ImageTensor: image }, Object.values(NODES));
  for (const [index, key] of Object.keys(NODES).entries()) {
    writeFloats(path.join(folder, `${name}.${key}.f32`), await outputs[index].data());
  }
}
console.log(JSON.stringify(versions()));
