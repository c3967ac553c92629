// What both TensorFlow.js runners need: a backend, and a graph model read from a folder without a web server.
// @tensorflow/tfjs-* are taken from the current folder's node_modules.
import fs from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.cwd(), "package.json"));
export const tf = require("@tensorflow/tfjs-core");

export async function loadModel(backend, modelDir) {
  const { loadGraphModel } = require("@tensorflow/tfjs-converter");
  const engine = require(`@tensorflow/tfjs-backend-${backend}`);
  if (backend === "wasm") {
    engine.setWasmPaths(path.join(process.cwd(), "node_modules/@tensorflow/tfjs-backend-wasm/wasm-out/"));
  }
  await tf.setBackend(backend);
  await tf.ready();
  const { modelTopology, weightsManifest } = JSON.parse(fs.readFileSync(path.join(modelDir, "model.json")));
  const bytes = Buffer.concat(weightsManifest.flatMap((group) => group.paths.map((shard) => fs.readFileSync(path.join(modelDir, shard)))));
  return loadGraphModel(
    tf.io.fromMemory({
      modelTopology,
      weightSpecs: weightsManifest.flatMap((group) => group.weights),
      weightData: bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length),
    }),
  );
}

// A batch of one from raw RGB bytes; TensorFlow.js has no uint8 and takes int32 for it.
export function readPicture(file, height, width) {
  return tf.tensor(Int32Array.from(fs.readFileSync(file)), [1, height, width, 3], "int32");
}

export function writeFloats(file, values) {
  fs.writeFileSync(file, Buffer.from(Float32Array.from(values).buffer));
}

export function versions() {
  return { backend: tf.getBackend(), "@tensorflow/tfjs-core": tf.version_core, node: process.version };
}
