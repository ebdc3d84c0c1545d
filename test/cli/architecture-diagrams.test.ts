import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT, runCli } from './run-cli.ts';

describe('ARCHITECTURE.md', () => {
  test('holds the diagrams that `ioasis machines` prints', async () => {
    const { stdout } = await runCli(['machines', '--format', 'mermaid']);
    const printed = stdout
      .trimEnd()
      .split('\n\n')
      .map((diagram) => {
        const name = /^%% (\w+)\n/.exec(diagram)?.[1] ?? '?';
        return `### ${name}\n\n\`\`\`mermaid\n${diagram}\n\`\`\`\n`;
      })
      .join('\n');
    const text = readFileSync(join(ROOT, 'ARCHITECTURE.md'), 'utf8');
    const section = text.split(/^## Lifecycles\n/m)[1]?.split(/^## /m)[0] ?? '';
    expect(section.slice(section.indexOf('### ')).trimEnd()).toBe(printed.trimEnd());
  });
});
