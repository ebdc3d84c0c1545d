import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { EXAMPLE, linesOf, ROOT, runCli, temporaryFolder } from './run-cli.ts';

const HARDWARE = join(ROOT, 'test/fixtures/linux-7.3-hw/vtd-ss-pasid.jsonl.gz');
const SELFTEST = join(
  ROOT,
  'test/fixtures/linux-7.3-selftests/iommufd_device_pasid.has_pasid.pasid_attach.jsonl.gz',
);
const folder = temporaryFolder();
const store = join(folder, 'audit.db');

beforeAll(async () => {
  await runCli(['import', SELFTEST, '--name', 'selftest', '--store', store]);
  await runCli(['import', HARDWARE, '--name', 'edu', '--store', store]);
});

const audit = (...args: readonly string[]) => runCli(['audit', 'pasid', ...args, '--store', store]);

describe('audit pasid', () => {
  test.each([
    ['selftest', ['selftest']],
    ['edu-device', ['edu', '--device', '00:02.0']],
    ['edu-at', ['edu', '--at', '60']],
  ])('prints what test/golden/audit/%s.txt has', async (name, args) => {
    const run = await audit(...args);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    await expect(run.stdout).toMatchFileSnapshot(join(ROOT, `test/golden/audit/${name}.txt`));
  });

  test('reads a capture directly, and says the same', async () => {
    const [kept, direct] = await Promise.all([audit('selftest'), audit(SELFTEST)]);
    expect(linesOf(direct.stdout).slice(1)).toEqual(linesOf(kept.stdout).slice(1));
  });

  test('gives one JSON object', async () => {
    const { stdout } = await audit('selftest', '--json', '--pasid', '100');
    const answer = JSON.parse(stdout) as Record<string, unknown[]>;
    expect(answer['tenures']).toHaveLength(3);
    expect(answer['reused']).toEqual([2, 3]);
    expect(answer).toMatchObject({ trace: 'selftest', leaked: [], reusedBeforeFlush: [] });
    const at = JSON.parse((await audit('edu', '--json', '--at', '60', '--pasid', '0x46')).stdout) as unknown;
    expect(at).toMatchObject({
      at: 60,
      holders: [{ pasid: 70, hwpt: 6, ioas: 3, from_seq: 49, to_seq: 85 }],
    });
  });

  test('gives CSV of what happened, or of the holders', async () => {
    const events = linesOf((await audit('edu', '--csv', '--pasid', '70', '--process', '249')).stdout);
    expect(events).toHaveLength(7);
    expect(events[0]).toMatch(/^seq,t_ns,pid,fd,call,what,/);
    expect(events[1]).toBe(
      '49,,249,5,VFIO_DEVICE_ATTACH_IOMMUFD_PT,attach,iommufd,function,0000:00:02.0,70,,3,1,0000:00:02.0,1,6,3,,',
    );
    const holders = linesOf((await audit('edu', '--csv', '--at', '60', '--pasid', '70')).stdout);
    expect(holders).toEqual([
      'scope_kind,scope,pasid,vpasid,tenure,generation,pid,fd,context,from_seq,to_seq,function,device,hwpt,ioas',
      'function,0000:00:02.0,70,,3,iommufd,249,5,1,49,85,0000:00:02.0,1,6,3',
    ]);
  });

  test('--check exits 1 for a PASID that is never freed, and 0 for a clean trace', async () => {
    expect(await audit('edu', '--check', '--quiet')).toEqual({ code: 0, stdout: '', stderr: '' });
    const all = readFileSync(HARDWARE);
    const { gunzipSync } = await import('node:zlib');
    const cut = join(folder, 'cut.jsonl');
    writeFileSync(cut, gunzipSync(all).toString().split('\n').slice(0, 62).join('\n'));
    const run = await audit(cut, '--check');
    expect(run.code).toBe(1);
    expect(run.stdout).toContain('6 PASIDs handed out, 6 never freed');
    // Without --check it is an answer like any other.
    expect((await audit(cut)).code).toBe(0);
  });

  test('says how many rows it leaves out, and when nothing is there', async () => {
    const { stdout } = await audit('edu', '--limit', '5');
    expect(stdout).toContain('46 events are not shown (--limit)');
    expect((await audit(EXAMPLE)).stdout).toBe(
      `${EXAMPLE}: 0 PASIDs handed out, 0 never freed, 0 handed out again, 0 of these before a flush\n`,
    );
    expect((await audit('edu', '--at', '10')).stdout).toBe('edu: no PASID is held after call 10\n');
  });

  test('remarks where the kernel answered otherwise than the model', async () => {
    const { stderr } = await audit('edu', '--kernel', '6.12');
    expect(stderr).toMatch(/^ioasis: the kernel answered \d+ calls otherwise than the model/);
    // The tables of the recorded kernel come back.
    expect((await audit('edu')).stdout).toContain('18 PASIDs handed out');
  });
});

describe('audit pasid on a trace of May 2021', () => {
  const MAY = join(ROOT, 'examples/proposal/may-8-two-vms-audit.jsonl');

  test('prints what its golden file has', async () => {
    const run = await runCli(['audit', 'pasid', 'examples/proposal/may-8-two-vms-audit.jsonl'], {
      cwd: ROOT,
    });
    expect(run).toMatchObject({ code: 0, stderr: '' });
    await expect(run.stdout).toMatchFileSnapshot(join(ROOT, 'test/golden/audit/may.txt'));
  });

  test('gives JSON of everything, of a moment, of a device and of a process', async () => {
    const json = async (...args: readonly string[]) =>
      JSON.parse((await runCli(['audit', 'pasid', MAY, '--json', ...args])).stdout) as Record<
        string,
        object[]
      >;
    const all = await json();
    expect(all).toMatchObject({ leaked: [3, 4, 5], reused: [5], reusedBeforeFlush: [] });
    expect(all['tenures']![4]).toMatchObject({ pasid: 2, vpasid: 8, previous: 2, set_name: 'descriptor 4' });
    const at = await json('--at', '33', '--pasid', '2');
    expect(at['holders']).toMatchObject([{ pasid: 2, vpasid: 7, pid: 100, function: 'mdev-a', ioas: 1 }]);
    expect((await json('--at', '35', '--pasid', '2'))['holders']).toEqual([]);
    const held = async (...args: readonly string[]) =>
      (await json('--at', '38', ...args))['holders']!.map((holder) => (holder as { pasid: number }).pasid);
    expect(await held()).toEqual([1, 2, 3, 4]);
    expect(await held('--device', 'mdev-b')).toEqual([2, 3, 4]);
    expect(await held('--process', '100')).toEqual([1]);
    expect(await held('--process', '100', '--device', 'mdev-b')).toEqual([]);
  });

  test('gives CSV of what happened, and of the holders', async () => {
    const csv = async (...args: readonly string[]) =>
      linesOf((await runCli(['audit', 'pasid', MAY, '--csv', ...args])).stdout);
    const events = await csv('--pasid', '2', '--process', '100');
    expect(events).toHaveLength(15);
    expect(events.slice(4, 8)).toEqual([
      '10,,100,3,IOASID_BIND_PGTABLE,bind,proposal-2021-05,system,,2,7,2,1,mdev-a,2,0,1,,',
      '11,,100,20,KVM_MAP_PASID,kvm-map,proposal-2021-05,system,,2,7,2,1,,,,,vm 3,',
      '28,,100,,iommu_page_request,fault,proposal-2021-05,system,,2,7,2,1,mdev-a,2,0,1,,',
      '29,,100,3,IOASID_READ_FAULT,fault-read,proposal-2021-05,system,,2,7,2,1,mdev-a,2,0,1,,',
    ]);
    expect((await csv('--at', '40', '--pasid', '2')).slice(1)).toEqual([
      'system,,2,8,5,proposal-2021-05,200,10,4,36,,mdev-b,5,0,2',
    ]);
  });

  test('names the devices there are, where one has none, and wants one format', async () => {
    const run = await runCli(['audit', 'pasid', MAY, '--device', 'mdev-c', '--at', '33']);
    expect(run).toMatchObject({ code: 0, stdout: `${MAY}: no PASID is held after call 33\n` });
    expect(run.stderr).toBe('ioasis: no PASID of device mdev-c; there are PASIDs of mdev-a, mdev-b\n');
    expect(await runCli(['audit', 'pasid', MAY, '--json', '--csv'])).toEqual({
      code: 2,
      stdout: '',
      stderr: 'ioasis: --json and --csv exclude each other\n',
    });
  });

  test('--check exits 1: three PASIDs are never freed', async () => {
    expect((await runCli(['audit', 'pasid', MAY, '--check', '--quiet'])).code).toBe(1);
  });
});

describe('audit export and verify', () => {
  const bundle = join(folder, 'edu.bundle');
  const exportTo = (path: string, ...args: readonly string[]) =>
    runCli(['audit', 'export', 'edu', '--out', path, '--store', store, ...args]);

  test('write a bundle that verifies alone', async () => {
    const made = await exportTo(bundle, '--from', '40', '--to', '60', '--json');
    expect(made).toMatchObject({ code: 0, stderr: '' });
    const { chainHead } = JSON.parse(made.stdout) as { chainHead: string };
    const run = await runCli(['verify', bundle, '--head', chainHead], { cwd: folder });
    expect(run).toMatchObject({ code: 0, stderr: '' });
    expect(run.stdout).toBe(
      `${bundle}: ok\n  calls     21 of 263 of trace edu, seq 40 to 60\n  log       ${chainHead}\n  signed by nobody\n`,
    );
    const list = JSON.parse((await runCli(['list', '--json', '--store', store])).stdout) as object[];
    expect(list[1]).toMatchObject({ name: 'edu', chainHead });
    const other = await runCli(['verify', bundle, '--head', '0'.repeat(64), '--json']);
    expect(other.code).toBe(1);
    expect(JSON.parse(other.stdout)).toMatchObject({ ok: false, chainHead });
  });

  test('name the call that was changed', async () => {
    const changed = join(folder, 'changed.bundle');
    writeFileSync(changed, readFileSync(bundle, 'utf8').replace('{"row":[50,355,', '{"row":[50,356,'));
    expect(readFileSync(changed, 'utf8')).not.toBe(readFileSync(bundle, 'utf8'));
    const run = await runCli(['verify', changed, '--json']);
    expect(run.code).toBe(1);
    expect(JSON.parse(run.stdout)).toMatchObject({ ok: false, damage: { line: 52, seq: 50 } });
    expect((await runCli(['verify', changed, '--quiet'])).stdout).toBe(
      `${changed}: DAMAGED at line 52, seq 50: the call is not the one that was exported there\n`,
    );
  });

  test('sign, and tell who signed', async () => {
    const files = ['one', 'two'].map((name) => {
      const { privateKey, publicKey } = generateKeyPairSync('ed25519');
      const [secret, open] = [join(folder, `${name}.key`), join(folder, `${name}.pub`)];
      writeFileSync(secret, privateKey.export({ type: 'pkcs8', format: 'pem' }));
      writeFileSync(open, publicKey.export({ type: 'spki', format: 'pem' }));
      return [secret, open] as const;
    });
    const [[secret, open], [, stranger]] = [files[0]!, files[1]!];
    const signed = join(folder, 'signed.bundle');
    expect((await exportTo(signed, '--sign', secret)).stdout).toMatch(/\n {2}signed by [0-9a-f]{64}\n$/);
    expect(await runCli(['verify', signed, '--key', open])).toMatchObject({ code: 0, stderr: '' });
    const wrong = await runCli(['verify', signed, '--key', stranger]);
    expect(wrong).toMatchObject({ code: 1, stdout: expect.stringContaining('signed with another key') });
    const unsigned = await runCli(['verify', bundle, '--key', open]);
    expect(unsigned).toMatchObject({ code: 1, stdout: `${bundle}: is not signed\n` });
    const renamed = join(folder, 'renamed.bundle');
    writeFileSync(renamed, readFileSync(signed, 'utf8').replace('"trace":"edu"', '"trace":"else"'));
    const told = await runCli(['verify', renamed]);
    expect(told).toMatchObject({ code: 1, stdout: `${renamed}: the signature is not of this content\n` });
    // The same bytes each time.
    const again = join(folder, 'again.bundle');
    await exportTo(again, '--sign', secret);
    expect(readFileSync(again).equals(readFileSync(signed))).toBe(true);
  });

  test.each([
    ['a range that ends before it begins', ['--from', '9', '--to', '3'], /--from 9 is after --to 3/],
    ['a range without calls', ['--from', '9999'], /has no call in that range/],
    ['a key that is none', ['--sign', EXAMPLE], /is no Ed25519 key in PEM/],
    ['a key that is not there', ['--sign', 'nowhere.key'], /nowhere\.key: no such file/],
  ])('refuse %s', async (_, args, message) => {
    const run = await exportTo(join(folder, 'never'), ...args);
    expect(run).toMatchObject({ code: 2, stdout: '' });
    expect(run.stderr).toMatch(message);
    expect(linesOf(run.stderr)).toHaveLength(1);
  });

  test('refuse --head and --key for a trace', async () => {
    const run = await runCli(['verify', 'edu', '--head', 'x', '--store', store]);
    expect(run).toEqual({ code: 2, stdout: '', stderr: 'ioasis: --head and --key are for bundles\n' });
  });
});
