import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { parseCapture } from '../../src/trace/index.ts';
import { replayContainers } from '../support/type1-replay.ts';
import { SHARED_TRACES, sharedTraces } from '../trace/shared-traces.ts';

/** Container calls of programs on kernels whose /dev/vfio/vfio is the classic driver. */

const CLASSIC = sharedTraces().filter((name) => /\/classic(48)?\//.test(name));

describe.runIf(CLASSIC.length > 0)('shared captures of the classic driver', () => {
  test.each(CLASSIC)('%s: every container call is answered as recorded', (name) => {
    const bytes = readFileSync(join(SHARED_TRACES, name));
    const { compared, divergences, partial } = replayContainers(
      parseCapture(gunzipSync(bytes).toString(), name),
    );
    expect(divergences).toEqual([]);
    expect(partial).toEqual([]);
    expect(compared).toBeGreaterThan(10);
  });
});
