import type Database from 'better-sqlite3';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Call, EMPTY_HEADER, parseCapture } from '../../src/trace/index.ts';
import { openStore } from '../../store/index.ts';
import { openSqlite } from '../support/sqlite.ts';
import { useTemporaryFolder } from './temporary-folder.ts';

const pathOf = useTemporaryFolder();

const u32 = (...values: number[]): string =>
  Buffer.concat(values.map((value) => Buffer.from(Uint32Array.of(value).buffer))).toString('hex');
const u64 = (...values: bigint[]): string =>
  Buffer.concat(values.map((value) => Buffer.from(BigUint64Array.of(value).buffer))).toString('hex');

const VA = 0x7f00_0000_1000n;
const TOP = 0xffff_ffff_ffff_f000n;

/** One of each hot ioctl: command, kind, struct before and after. */
const STRUCTS: readonly [string, string, string, string][] = [
  ['0x3b81', 'iommufd', u32(12, 0, 0), u32(12, 0, 5)],
  ['0x3b85', 'iommufd', u32(40, 6, 5, 0) + u64(VA, 4096n, 0n), u32(40, 6, 5, 0) + u64(VA, 4096n, TOP)],
  [
    '0x3b83',
    'iommufd',
    u32(40, 7, 6, 5) + u64(4096n, 0x2000n, TOP),
    u32(40, 7, 6, 5) + u64(4096n, 0x2000n, TOP),
  ],
  ['0x3b86', 'iommufd', u32(24, 5) + u64(0n, 2n ** 64n - 1n), u32(24, 5) + u64(0n, 4096n)],
  ['0x3b71', 'container', u32(32, 3) + u64(VA, 0x1000n, 4096n), u32(32, 3) + u64(VA, 0x1000n, 4096n)],
  ['0x3b72', 'container', u32(24, 0) + u64(0x1000n, 4096n), u32(24, 0) + u64(0x1000n, 0n)],
];

let database: Database.Database;
beforeAll(() => {
  const lines = STRUCTS.map(([cmd, kind, arg, out], seq) =>
    JSON.stringify({
      seq,
      pid: 1,
      op: 'ioctl',
      fd: 3,
      kind,
      cmd,
      argp: '0x10',
      arg,
      out,
      mem: [],
      ret: 0,
      errno: 0,
    }),
  );
  const mark = '{"seq":9,"pid":1,"t_ns":7,"op":"note","kind":"strange","text":"hello"}';
  const calls: readonly Call[] = parseCapture([...lines, mark].join('\n')).calls;
  const store = openStore(pathOf('views.db'));
  const writer = store.beginTrace({ name: 't', header: EMPTY_HEADER });
  writer.append(calls);
  writer.seal();
  store.close();
  database = openSqlite(pathOf('views.db'), { readonly: true });
  return () => database.close();
});

describe('SQL views', () => {
  test.each([
    ['ioas_alloc', { flags: 0, out_ioas_id: 5 }],
    [
      'ioas_map',
      {
        flags: 6,
        ioas_id: 5,
        user_va: '0x7f0000001000',
        length: 4096,
        iova: '0x0',
        out_iova: '0xfffffffffffff000',
      },
    ],
    [
      'ioas_copy',
      {
        flags: 7,
        dst_ioas_id: 6,
        src_ioas_id: 5,
        length: 4096,
        dst_iova: '0x2000',
        src_iova: '0xfffffffffffff000',
        out_dst_iova: '0x2000',
      },
    ],
    ['ioas_unmap', { ioas_id: 5, iova: '0x0', length: -1, out_length: 4096 }],
    ['dma_map', { flags: 3, vaddr: '0x7f0000001000', iova: '0x1000', size: 4096 }],
    ['dma_unmap', { flags: 0, iova: '0x1000', size: 4096, out_size: 0 }],
  ])('%s names the fields of its struct', (view, fields) => {
    const rows = database.prepare(`SELECT * FROM ${view}`).all();
    expect(rows).toHaveLength(1);
    expect(rows[0]).toMatchObject({ trace: 't', pid: 1, fd: 3, rc: 0, ...fields });
  });

  test('calls lists every record by name', () => {
    const rows = database.prepare('SELECT op, kind, cmd, argp, t_ns FROM calls ORDER BY seq').all();
    expect(rows[1]).toEqual({ op: 'ioctl', kind: 'iommufd', cmd: '0x3b85', argp: '0x10', t_ns: null });
    expect(rows.at(-1)).toMatchObject({ op: 'note', kind: 'strange', t_ns: 7 });
  });
});
