// Runs the SSDLite-MobileNetV2 TensorFlow.js graph model on raw 300x300 RGB pictures.
//
//   node run_tfjs.mjs BACKEND MODEL_DIR FOLDER NAME...
//
// BACKEND is cpu or wasm; @tensorflow/tfjs-* are taken from the current folder's node_modules. FOLDER/NAME.rgb is read;
// FOLDER/NAME.KEY.f32 is written for every output (little-endian float32).
import path from "node:path";
import { loadModel, readPicture, tf, versions, writeFloats } from "./tfjs.mjs";

const [backend, modelDir, folder, ...names] = process.argv.slice(2);
const model = await loadModel(backend, modelDir);

const NODES = {
  anchors: "Postprocessor/ExpandDims",
  encodings: "Squeeze",
  logits: "concat_1",
  boxes: "Postprocessor/ExpandDims_1",
  scores: "Postprocessor/Slice",
};

// What the graph lacks: TensorFlow's multi-class NMS with the zoo model's numbers, 100 a class and 100 in all.
async function detect(boxes, scores) {
  const flat = tf.reshape(boxes, [-1, 4]);
  const classes = tf.unstack(tf.squeeze(scores, [0]), 1);
  const kept = [];
  for (const [index, column] of classes.entries()) {
    const value = await column.data();
    const chosen = await tf.image.nonMaxSuppressionAsync(flat, column, 100, 0.6, 1e-8);
    kept.push(...Array.from(await chosen.data(), (row) => ({ row, score: value[row], label: index + 1 })));
  }
  kept.sort((a, b) => b.score - a.score || a.label - b.label);
  const corner = await flat.data();
  const clip = (x) => Math.min(1, Math.max(0, x));
  return kept.slice(0, 100).flatMap(({ row, score, label }) => [...corner.slice(4 * row, 4 * row + 4)].map(clip).concat(score, label));
}

for (const name of names) {
  const image = readPicture(path.join(folder, `${name}.rgb`), 300, 300);
  const outputs = await model.executeAsync({ image_tensor: image }, Object.values(NODES));
  const write = (key, values) => writeFloats(path.join(folder, `${name}.${key}.f32`), values);
  for (const [index, key] of Object.keys(NODES).entries()) write(key, await outputs[index].data());
  write("detections", await detect(outputs[3], outputs[4]));
}
console.log(JSON.stringify(versions()));
