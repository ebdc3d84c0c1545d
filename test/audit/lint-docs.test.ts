import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { RULES, type Rule } from '../../src/audit/index.ts';

const ROOT = join(import.meta.dirname, '../..');

const HEAD = `# What \`ioasis lint\` looks for

Every rule, by id. Ids are stable for ever. A finding has the call that it is about, the calls that led
to it, an explanation with the ids and addresses of the trace, and how to fix it. Severities are those of
SARIF: an \`error\` is something that did go wrong, a \`warning\` something that will go wrong or hides a
mistake, a \`note\` costs something or may be meant. A rule says what it reports although nothing is wrong;
what it reports on the recorded traces of this repository is pinned in test/golden/lint/.

"reference N" is a section of the notes on the user API that the project was given; kernel functions are
those of Linux 6.12 and 7.3. This file is written by \`npx vitest run test/audit/lint-docs.test.ts -u\`.

| rule | severity | what it is |
|---|---|---|
`;

function row({ id, severity, title }: Rule): string {
  return `| [\`${id}\`](#${id}) | ${severity} | ${title} |\n`;
}

function section({ id, severity, title, doc }: Rule): string {
  const parts = [
    `## ${id}`,
    `${title}. Severity: ${severity}.`,
    `**Reported**: ${doc.detects}`,
    `**Why it matters**: ${doc.why}`,
    `**Fix**: ${doc.fix}`,
    `**Reported though nothing is wrong**: ${doc.falseAlarms}`,
    `**From**: ${doc.source}`,
  ];
  return `\n${parts.join('\n\n')}\n`;
}

/** What the issue asks for by name. */
const ASKED = [
  ['reserved-ranges-lost', 'iotlb-stale-entry', 'nested-invalidate-missing', 'invalidate-too-narrow'],
  ['pasid-reuse-before-flush', 'pasid-free-while-attached', 'pasid-leak', 'object-leak-at-close'],
  ['use-after-destroy', 'double-destroy', 'destroy-busy-loop', 'unmap-partial-surprise', 'unmap-nothing'],
  ['map-never-unmapped', 'map-before-attach-bad-va', 'dma-to-unmapped', 'attach-order'],
  ['reserved-range-hit', 'replace-not-atomic', 'fault-unanswered', 'fault-response-unknown', 'vevent-lost'],
  ['rlimit-near', 'huge-page-lost', 'bind-twice-two-contexts', 'compat-ioas-swap'],
  ['dirty-tracking-window', 'order-hazard', 'group-partial-attach', 'detach-order'],
].flat();

describe('rules', () => {
  test('are documented in docs/lint-rules.md', async () => {
    const text = HEAD + RULES.map(row).join('') + RULES.map(section).join('');
    await expect(text).toMatchFileSnapshot(join(ROOT, 'docs/lint-rules.md'));
  });

  test('have an id that is the name of their file, each once, in order', () => {
    const files = readdirSync(join(ROOT, 'src/audit/rules'))
      .filter((file) => file !== 'index.ts')
      .map((file) => file.replace(/\.ts$/, ''))
      .sort();
    expect(RULES.map(({ id }) => id)).toEqual(files);
  });

  test('are there for everything that was asked for', () => {
    const ids = new Set(RULES.map(({ id }) => id));
    expect(ASKED.filter((id) => !ids.has(id))).toEqual([]);
  });

  test('say all that a reader needs', () => {
    for (const { id, title, doc } of RULES) {
      expect(title, id).toMatch(/^[A-Z].*[^.]$/);
      for (const [part, text] of Object.entries(doc)) expect(text, `${id}: ${part}`).toMatch(/^\S.{9,}\S$/);
    }
  });
});
