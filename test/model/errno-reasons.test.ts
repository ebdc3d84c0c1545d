import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { adviceOn, advisedIds, allReasons, commandsByReason, type Reason } from '../../src/model/index.ts';
import { reason } from '../../src/model/reason.ts';
// Declares its reasons, whether or not a descriptor leads there yet.
import '../../src/model/vfio-pci/index.ts';
import { errnoName } from '../../src/uapi/index.ts';

const ROOT = join(import.meta.dirname, '../..');

const HEAD = `# Why the kernel refuses

Every refusal of the model, by its id. Ids are stable for ever: \`replay\`, \`predict\` and \`explain\` name
them. The calls are those that may be refused for it. The kernel function is the one that checks, as of Linux
6.12, or of 7.3 where 6.12 has none of that name. This file is written by
\`npx vitest run test/model/errno-reasons.test.ts -u\`.

| id | errno | calls | meaning | kernel function | usual cause | usual cure |
|---|---|---|---|---|---|---|
`;

const COMMANDS = commandsByReason();
const TEST = 'IOMMU_TEST_CMD ';
/** A check of the dispatcher, which every command of iommufd passes. */
const DISPATCHED = COMMANDS.get('struct-too-small')!;

const cell = (text: string): string => text.replaceAll('|', '\\|');

function callsOf(id: string): string {
  const commands = COMMANDS.get(id) ?? [];
  const isDispatcher = DISPATCHED.every((command) => commands.includes(command));
  const others = isDispatcher ? commands.filter((command) => !DISPATCHED.includes(command)) : commands;
  // The operations of the selftest are one command.
  const operations = others
    .filter((command) => command.startsWith(TEST))
    .map((command) => command.slice(TEST.length));
  const names = others.filter((command) => !command.startsWith(TEST));
  const selftest = operations.length === 0 ? [] : [`${TEST.trim()} (${operations.join(', ')})`];
  return [...(isDispatcher ? ['every command of iommufd'] : []), ...names, ...selftest].join(', ');
}

function rowOf({ id, errno, source, says }: Reason): string {
  const { cause, cure } = adviceOn(id) ?? { cause: '', cure: '' };
  const cells = [callsOf(id), says, source, cause, cure].map(cell);
  return `| \`${id}\` | ${errnoName(errno)} | ${cells.join(' | ')} |\n`;
}

describe('reasons', () => {
  test('are listed in docs/errno-reasons.md', async () => {
    const text = HEAD + allReasons().map(rowOf).join('');
    await expect(text).toMatchFileSnapshot(join(ROOT, 'docs/errno-reasons.md'));
  });

  test('have a usual cause and a usual cure, and nothing else has', () => {
    const advised = new Set(advisedIds());
    const ids = allReasons().map(({ id }) => id);
    expect({
      missing: ids.filter((id) => !advised.has(id)),
      unknown: [...advised].filter((id) => !ids.includes(id)),
    }).toEqual({ missing: [], unknown: [] });
    expect(advised.size).toBe(advisedIds().length);
  });

  test('are explained in one plain sentence each', () => {
    const texts = advisedIds().flatMap((id) => Object.values(adviceOn(id)!).map((text) => `${id}: ${text}`));
    expect(texts.filter((text) => /: ?$|[.\s]$|: [A-Z][a-z]|\n/.test(text))).toEqual([]);
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
