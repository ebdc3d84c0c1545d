import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EMPTY_HEADER } from '../../src/trace/index.ts';
import { openStore } from '../../store/index.ts';
import { hotCalls } from './make-calls.ts';
import { useTemporaryFolder } from './temporary-folder.ts';

const pathOf = useTemporaryFolder();
const ROOT = resolve(import.meta.dirname, '../..');
/** Below node_modules, so that the compiled modules find their packages. */
const COMPILED = join(ROOT, 'node_modules/.cache', `ioasis-kill-test-${process.pid}`);

beforeAll(() => {
  mkdirSync(COMPILED, { recursive: true });
  const config = {
    extends: join(ROOT, 'tsconfig.json'),
    compilerOptions: { noEmit: false, rootDir: ROOT, outDir: COMPILED },
    files: [join(ROOT, 'store/index.ts'), join(ROOT, 'test/store/make-calls.ts')],
    include: [],
  };
  writeFileSync(join(COMPILED, 'tsconfig.json'), JSON.stringify(config));
  writeFileSync(join(COMPILED, 'package.json'), '{"type":"module"}');
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  execFileSync(process.execPath, [tsc, '-p', join(COMPILED, 'tsconfig.json')], { stdio: 'pipe' });
});
afterAll(() => rmSync(COMPILED, { recursive: true, force: true }));

/**
 * Runs an import and kills it once it has reported so many batches, after a delay. Answers the last report.
 */
function importAndKill(path: string, batchCalls: number, batches: number, delayMs: number): Promise<number> {
  const child = spawn(
    process.execPath,
    [
      join(ROOT, 'test/store/kill-child.mjs'),
      join(COMPILED, 'store/index.js'),
      join(COMPILED, 'test/store/make-calls.js'),
      path,
      String(batchCalls),
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  return new Promise((done, fail) => {
    let text = '';
    let isKilling = batches === 0;
    const kill = (): void => void setTimeout(() => child.kill('SIGKILL'), delayMs);
    if (isKilling) kill();
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString();
      if (isKilling || text.split('\n').length <= batches) return;
      isKilling = true;
      kill();
    });
    child.on('error', fail);
    child.on('close', (_code, signal) => {
      if (signal !== 'SIGKILL') fail(new Error(`the import ended by itself (${signal}): ${text}`));
      const complete = text.slice(0, text.lastIndexOf('\n')).split('\n');
      done(Number(complete.at(-1)));
    });
  });
}

describe('an import that is killed', () => {
  test.each([
    [100, 0, 0],
    [100, 0, 150],
    [100, 1, 0],
    [100, 45, 1],
    [1000, 3, 7],
    [5000, 2, 20],
    [20_000, 1, 60],
  ])(
    'leaves a clean prefix (batches of %i, killed after %i and %i ms)',
    async (batchCalls, batches, delayMs) => {
      const path = pathOf(`killed-${batchCalls}-${batches}-${delayMs}.db`);
      const reported = await importAndKill(path, batchCalls, batches, delayMs);
      const store = openStore(path);
      const trace = store.findTrace('killed');
      if (trace === null) {
        expect(reported).toBe(0);
      } else {
        // Killed: nothing that was reported is lost, and no batch is there in part.
        expect(trace.state).toBe('importing');
        expect(trace.callCount).toBeGreaterThanOrEqual(reported);
        expect(trace.callCount % batchCalls).toBe(0);
        expect(store.verifyTrace(trace.id)).toMatchObject({ ok: true, callCount: trace.callCount });
        expect([...store.readCallsExact(trace.id)]).toEqual(hotCalls(trace.callCount));
      }
      const again = store.beginTrace({ name: 'killed', header: EMPTY_HEADER });
      again.append(hotCalls(10));
      const { id } = again.seal();
      expect(store.listTraces()).toHaveLength(1);
      expect(store.verifyTrace(id)).toMatchObject({ ok: true, callCount: 10 });
      store.close();
      expect(existsSync(`${path}-wal`)).toBe(false);
    },
  );
});
