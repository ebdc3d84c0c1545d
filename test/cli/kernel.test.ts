import { describe, expect, test } from 'vitest';
import { EXAMPLE, linesOf, runCli } from './run-cli.ts';

/** The line of a replay that names its profile. */
async function profileLine(kernel: string): Promise<string | undefined> {
  const { stdout } = await runCli(['replay', EXAMPLE, '--kernel', kernel]);
  return linesOf(stdout).find((line) => line.startsWith('  profile '));
}

describe('--kernel', () => {
  test.each([
    ['6.8', 'linux-6.8 (kernel 6.8)'],
    ['linux-6.17', 'linux-6.17 (kernel linux-6.17)'],
    ['6.12.30', 'linux-6.12.30 (kernel 6.12.30)'],
    ['6.6.50', 'linux-6.6 (WARNING: kernel 6.6.50 has no profile of its own: answers may differ)'],
    ['8.1', 'linux-7.3 (WARNING: kernel 8.1 has no profile of its own: answers may differ)'],
  ])('%s picks the profile', async (kernel, profile) => {
    expect(await profileLine(kernel)).toBe(`  profile     ${profile}`);
  });

  test('of a kernel that answers otherwise shows where', async () => {
    const runs = ['6.12.117', '6.8', '6.5'].map((kernel) => runCli(['replay', EXAMPLE, '--kernel', kernel]));
    const [recorded, older, oldest] = (await Promise.all(runs)).map(({ stdout }) => stdout);
    expect(recorded).toContain('no divergence');
    expect(older).toContain('no divergence');
    // It did not tell the id of the mock device yet.
    expect(oldest).toMatch(/recorded .*"out_idev_id":3}, predicted .*"out_idev_id":0}/);
  });
});
