import { defineConfig } from 'rolldown';

/**
 * The command line as one file. Node reads one file in a fraction of the time that it takes for hundreds, and
 * a short trace is replayed sooner than they are found. Packages stay where npm put them.
 */
export default defineConfig({
  input: 'src/cli/main.ts',
  platform: 'node',
  external: /^[^./]/,
  output: { file: 'dist/ioasis.js', format: 'esm', sourcemap: true },
});
