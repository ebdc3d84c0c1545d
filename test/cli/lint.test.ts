import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { RULES } from '../../src/audit/index.ts';
import { EXAMPLE, ROOT, runCli } from './run-cli.ts';

const LINT = join(ROOT, 'test/fixtures/lint');
const BAD = join(LINT, 'use-after-destroy-bad.jsonl.gz');
const NOTE = join(LINT, 'map-never-unmapped-bad.jsonl.gz');
const CLEAN = join(LINT, 'use-after-destroy-good.jsonl.gz');

describe('lint', () => {
  test('prints a finding with its chain, the calls and how to fix it, and exits 1', async () => {
    const { code, stdout, stderr } = await runCli(['lint', BAD]);
    expect({ code, stderr }).toEqual({ code: 1, stderr: '' });
    expect(stdout).toMatch(
      /^error use-after-destroy at call \d+: IOMMU_IOAS_MAP uses ioas_id 1 after IOAS 1 /,
    );
    for (const role of ['created', 'destroyed', 'used after'])
      expect(stdout).toMatch(new RegExp(`\\n +\\d+ +${role}`));
    expect(stdout).toContain('ioctl(3</dev/iommu>, IOMMU_DESTROY, {id=1}) = 0');
    expect(stdout).toContain('\n  fix: ');
    expect(stdout).toMatch(/: 1 finding\n {2}use-after-destroy {2}1\n$/);
  });

  test('exits 0 where there is nothing, and says so', async () => {
    expect(await runCli(['lint', CLEAN])).toEqual({ code: 0, stdout: `${CLEAN}: no findings\n`, stderr: '' });
    expect(await runCli(['lint', EXAMPLE, '--quiet', '--fail-on', 'error'])).toMatchObject({ code: 0 });
  });

  test('as JSON has the findings with id, severity, seq, chain and message', async () => {
    const { code, stdout } = await runCli(['lint', BAD, '--json']);
    expect(code).toBe(1);
    const { findings, counts } = JSON.parse(stdout);
    expect(findings).toEqual([
      {
        id: 'use-after-destroy',
        severity: 'error',
        seq: expect.any(Number),
        chain: [
          { seq: expect.any(Number), role: 'created', says: expect.any(String) },
          { seq: expect.any(Number), role: 'destroyed', says: expect.any(String) },
          { seq: expect.any(Number), role: 'used after', says: expect.any(String) },
        ],
        message: expect.stringContaining('after IOAS 1 was destroyed'),
        fix: expect.any(String),
      },
    ]);
    expect(counts).toEqual({ 'use-after-destroy': 1 });
    expect(JSON.parse((await runCli(['lint', CLEAN, '--json'])).stdout).findings).toEqual([]);
    expect(await runCli(['lint', BAD, '--format', 'json'])).toMatchObject({ code, stdout });
  });

  test('fails only for findings as bad as --fail-on', async () => {
    const codes = await Promise.all(
      ['note', 'warning', 'error', 'never'].map(async (level) => [
        (await runCli(['lint', NOTE, '--fail-on', level])).code,
        (await runCli(['lint', BAD, '--fail-on', level])).code,
      ]),
    );
    expect(codes).toEqual([
      [1, 1],
      [0, 1],
      [0, 1],
      [0, 0],
    ]);
  });

  test('looks for the rules that are asked for', async () => {
    expect(await runCli(['lint', BAD, '--rule', 'unmap-nothing'])).toMatchObject({ code: 0 });
    expect(await runCli(['lint', BAD, '--skip', 'use-after-destroy'])).toMatchObject({ code: 0 });
    const unknown = await runCli(['lint', BAD, '--rule', 'no-such-rule']);
    expect(unknown).toMatchObject({ code: 2, stdout: '' });
    expect(unknown.stderr).toBe('ioasis: no-such-rule: no such rule; docs/lint-rules.md has all of them\n');
  });

  test('shows three findings of a rule and counts the rest, all with --all', async () => {
    const trace = join(ROOT, 'test/fixtures/linux-6.12-vmm/a.jsonl.gz');
    const some = await runCli(['lint', trace]);
    expect(some.stdout).toContain('unmap-nothing       6  (3 not shown; --all)');
    expect(some.stdout.match(/^warning unmap-nothing/gm)).toHaveLength(3);
    const all = await runCli(['lint', trace, '--all']);
    expect(all.stdout.match(/^warning unmap-nothing/gm)).toHaveLength(6);
  });

  test('refuses bad input with one line', async () => {
    const run = await runCli(['lint', 'no-such-file.jsonl']);
    expect(run).toMatchObject({ code: 2, stdout: '' });
    expect(run.stderr.trim().split('\n')).toHaveLength(1);
    expect((await runCli(['lint', BAD, '--fail-on', 'bad'])).code).toBe(2);
    expect((await runCli(['lint', BAD, '--format', 'xml'])).code).toBe(2);
  });
});

describe('SARIF output', () => {
  test('is a log of version 2.1.0 with one run, its rules and its results', async () => {
    const { code, stdout } = await runCli(['lint', BAD, '--format', 'sarif']);
    expect(code).toBe(1);
    const { $schema, version, runs } = JSON.parse(stdout);
    expect($schema).toContain('sarif-schema-2.1.0.json');
    expect(version).toBe('2.1.0');
    expect(runs).toHaveLength(1);
    const [{ tool, artifacts, results, invocations }] = runs;
    expect(tool.driver.name).toBe('ioasis');
    expect(tool.driver.rules.map(({ id }: { id: string }) => id)).toEqual(RULES.map(({ id }) => id));
    for (const rule of tool.driver.rules) {
      expect(['note', 'warning', 'error']).toContain(rule.defaultConfiguration.level);
      for (const part of ['shortDescription', 'fullDescription', 'help'])
        expect(rule[part].text).toMatch(/\S/);
    }
    expect(invocations).toEqual([{ executionSuccessful: true }]);
    expect(artifacts).toHaveLength(1);
    expect(() => new URL(artifacts[0].location.uri, 'file:///')).not.toThrow();
    for (const { ruleId, ruleIndex, level, message, locations, codeFlows, partialFingerprints } of results) {
      expect(tool.driver.rules[ruleIndex].id).toBe(ruleId);
      expect(['note', 'warning', 'error']).toContain(level);
      expect(message.text).toMatch(/\S/);
      expect(locations[0].physicalLocation.artifactLocation).toEqual({
        uri: artifacts[0].location.uri,
        index: 0,
      });
      expect(codeFlows[0].threadFlows[0].locations.length).toBeGreaterThan(0);
      expect(Object.values(partialFingerprints)).toEqual([expect.stringMatching(/^[0-9a-f]{32}$/)]);
    }
  });

  test('has fingerprints that tell findings apart, and are the same in each run', async () => {
    const trace = join(ROOT, 'test/fixtures/linux-6.12-vmm/a.jsonl.gz');
    const [one, other] = await Promise.all([0, 1].map(() => runCli(['lint', trace, '--format', 'sarif'])));
    expect(one!.stdout).toBe(other!.stdout);
    const results: { partialFingerprints: object }[] = JSON.parse(one!.stdout).runs[0].results;
    const prints = results.flatMap(({ partialFingerprints }) => Object.values(partialFingerprints));
    expect(new Set(prints).size).toBe(results.length);
  });
});
