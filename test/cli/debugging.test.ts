import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT, runCli } from './run-cli.ts';

const FILE = join(ROOT, 'docs/debugging.md');
/** A block that begins with a command; what follows in it is what the command prints. */
const BLOCK = /```\n\$ ioasis ([^\n]*)\n(?:(?!```)[\s\S])*```/g;

test('docs/debugging.md shows what its commands print', async () => {
  const text = readFileSync(FILE, 'utf8');
  const commands = [...text.matchAll(BLOCK)].map(([, command]) => command!);
  expect(commands.length).toBeGreaterThanOrEqual(6);
  const printed = new Map<string, string>();
  for (const command of commands) {
    const run = await runCli(command.split(' '), { cwd: ROOT });
    expect([0, 1], command).toContain(run.code);
    printed.set(command, run.stdout);
  }
  const current = text.replace(BLOCK, (_, command: string) => {
    return `\`\`\`\n$ ioasis ${command}\n${printed.get(command)}\`\`\``;
  });
  await expect(current).toMatchFileSnapshot(FILE);
});
