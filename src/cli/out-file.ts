import { closeSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { fileError } from './errors.ts';
import { withCleanUp } from './interrupt.ts';
import { type Output, openOutput } from './output.ts';

/**
 * Writes a file that appears whole or not at all: text goes to a new file beside it, which takes its name at
 * the end. A name that ends in `.gz` gets gzip: a member for each piece of text, which any reader joins.
 * @throws UsageError when the file cannot be written.
 */
export async function writeWholeFile<T>(path: string, work: (output: Output) => Promise<T>): Promise<T> {
  const temporaryPath = `${path}.${process.pid}.tmp`;
  const remove = (): void => rmSync(temporaryPath, { force: true });
  return await withCleanUp(remove, async () => {
    let fd: number | null = null;
    try {
      fd = openSync(temporaryPath, 'wx');
      const output = openOutput(fd, path, path.endsWith('.gz') ? (text) => gzipSync(text) : undefined);
      const result = await work(output);
      output.flush();
      fsyncSync(fd);
      closeSync(fd);
      fd = null;
      renameSync(temporaryPath, path);
      return result;
    } catch (error) {
      if (fd !== null) closeSync(fd);
      remove();
      throw fileError(path, error);
    }
  });
}
