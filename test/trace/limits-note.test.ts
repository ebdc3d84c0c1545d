import { describe, expect, test } from 'vitest';
import {
  isEffective,
  type JsonRecord,
  type LimitsNote,
  limitsOf,
  parseCapture,
} from '../../src/trace/index.ts';

describe('a limits note', () => {
  test.each<[string, JsonRecord, LimitsNote]>([
    ['nothing', {}, {}],
    ['no limit', { memlock: 'unlimited' }, { memlockBytes: null }],
    ['64 KiB', { memlock: '0x10000' }, { memlockBytes: 65_536n }],
    ['that nothing may be locked', { memlock: 0 }, { memlockBytes: 0n }],
    [
      'the largest limit',
      { memlock: '0xffffffffffffffff', uid: 0 },
      { memlockBytes: 2n ** 64n - 1n, uid: 0 },
    ],
    ['the largest uid', { uid: 4_294_967_295 }, { uid: 4_294_967_295 }],
    ['no capability', { capabilities: [] }, { capabilities: [] }],
    [
      'two capabilities',
      { capabilities: ['IPC_LOCK', 'cap_sys_resource'] },
      { capabilities: ['IPC_LOCK', 'SYS_RESOURCE'] },
    ],
  ])('tells %s', (_, record, told) => {
    expect(limitsOf(record)).toEqual(told);
  });

  test.each([
    ['"memlock":"much"', '"memlock" must be a hex string'],
    ['"memlock":-1', '"memlock" must be a hex string'],
    ['"memlock":null', '"memlock" must be a hex string'],
    ['"uid":-1', '"uid" must be a number of 32 bits'],
    ['"uid":4294967296', '"uid" must be a number of 32 bits'],
    ['"uid":"root"', '"uid" must be a number of 32 bits'],
    ['"capabilities":"IPC_LOCK"', '"capabilities" must be a list of names'],
    ['"capabilities":[14]', '"capabilities" must be a list of names'],
  ])('with %s is refused with its line', (member, problem) => {
    const line = `{"op":"note","seq":1,"pid":1,"kind":"limits",${member}}\n`;
    expect(() => parseCapture(line, 'a.jsonl')).toThrow(`a.jsonl:1: ${problem}`);
  });
});

describe('the text of cap_set_proc', () => {
  test.each([
    ['=ep', true],
    ['=ep cap_ipc_lock-e', false],
    ['=ep cap_ipc_lock-p', true],
    ['=ep cap_ipc_lock=p', false],
    ['=', false],
    ['', false],
    ['all+ep', true],
    ['cap_sys_admin,cap_ipc_lock+ep', true],
    ['cap_sys_admin+ep', false],
    ['cap_ipc_lock=p+e', true],
    ['cap_ipc_lock+e-e', false],
    ['CAP_IPC_LOCK=eip', true],
    ['=i cap_ipc_lock+e', true],
    ['=e all-e', false],
  ])('%j: IPC_LOCK effective is %j', (text, effective) => {
    expect(isEffective(text, 'IPC_LOCK')).toBe(effective);
  });

  test.each(['cap_ipc_lock', 'cap_ipc_lock+x', '14', '+ep!'])('%j says nothing', (text) => {
    expect(isEffective(text, 'IPC_LOCK')).toBeUndefined();
  });
});
