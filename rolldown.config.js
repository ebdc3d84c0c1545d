import { defineConfig } from 'rolldown';

/**
 * The command line as one file. Node reads one file in a fraction of the time that it takes for hundreds, and
 * a short trace is replayed sooner than they are found. Packages stay where npm put them.
 */
const bundle = (input, file) => ({
  input,
  platform: 'node',
  external: /^[^./]/,
  output: { file, format: 'esm', sourcemap: true },
});

export default defineConfig([
  bundle('src/cli/main.ts', 'dist/ioasis.js'),
  // The thread that reads long files; it is started by its file's name.
  bundle('store/read-rows-worker.ts', 'dist/read-rows-worker.js'),
]);
