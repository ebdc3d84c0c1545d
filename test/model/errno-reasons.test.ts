import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { allReasons, type Reason } from '../../src/model/index.ts';
import { reason } from '../../src/model/reason.ts';
// Declares its reasons, whether or not a descriptor leads there yet.
import '../../src/model/vfio-pci/index.ts';
import { errnoName } from '../../src/uapi/index.ts';

const ROOT = join(import.meta.dirname, '../..');

const HEAD = `# Why the kernel refuses

Every refusal of the model, by its id. Ids are stable for ever: \`replay\`, \`predict\` and \`explain\` name
them. The kernel function is the one that checks, as of Linux 6.12 unless the row says otherwise. This file
is written by \`npx vitest run test/model/errno-reasons.test.ts -u\`.

| id | errno | kernel function | meaning |
|---|---|---|---|
`;

const cell = (text: string): string => text.replaceAll('|', '\\|');

function rowOf({ id, errno, source, says }: Reason): string {
  return `| \`${id}\` | ${errnoName(errno)} | ${cell(source)} | ${cell(says)} |\n`;
}

describe('reasons', () => {
  test('are listed in docs/errno-reasons.md', async () => {
    const text = HEAD + allReasons().map(rowOf).join('');
    await expect(text).toMatchFileSnapshot(join(ROOT, 'docs/errno-reasons.md'));
  });

  test('of every file of the model are in the list, under ids of their own', () => {
    const folder = join(ROOT, 'src/model');
    const ids = readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => readFileSync(join(folder, file), 'utf8'))
      .flatMap((text) => [...text.matchAll(/\breason\(\s*'([^']+)'/g)].map(([, id]) => id!));
    expect(ids.length).toBeGreaterThan(100);
    expect([...ids].sort()).toEqual(allReasons().map(({ id }) => id));
  });

  test('never share an id with another meaning', () => {
    const first = allReasons()[0]!;
    expect(() => reason(first.id, 'EIO', 'nowhere', 'something else')).toThrow(first.id);
  });

  test('equal to an earlier one are that one', () => {
    const { id, errno, source, says } = allReasons()[0]!;
    const count = allReasons().length;
    const again = reason(id, errnoName(errno) as Parameters<typeof reason>[1], source, says);
    expect(again).toBe(allReasons()[0]);
    expect(allReasons()).toHaveLength(count);
  });
});
