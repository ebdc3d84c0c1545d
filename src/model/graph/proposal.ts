import { proposalGroupLifecycle, proposalIoasLifecycle } from '../../../machines/index.ts';
import type { Kernel } from '../kernel.ts';
import type { FactValue } from '../object-facts.ts';
import { attachmentsOf, devicesOn } from '../proposal/attachments.ts';
import { deviceFacts } from '../proposal/facts.ts';
import type { ProposalFile, ProposalState } from '../proposal/state.ts';
import { fileKey, groupKey, namedDeviceKey, pasidKey, processKey, setKey, spaceKey } from './keys.ts';
import type { NodeFacts, NodeVisitor, ReferenceVisitor } from './node-facts.ts';

/** The graph of the generations of 2020 and 2021: descriptors, I/O address spaces, PASIDs and their sets.
 * Processes are those of every kernel. */

export function visitProposalNodes(state: ProposalState, visit: NodeVisitor): void {
  for (const key in state.files) {
    const file = state.files[key]!;
    if (file.kind === 'other') continue;
    visit(fileKey(file.id));
    for (const id in file.spaces) visit(spaceKey(file.id, Number(id)));
  }
  for (const group in state.groups) visit(groupKey(Number(group)));
  for (const name of boundDevices(state)) visit(namedDeviceKey(name));
  for (const id in state.core.sets) visit(setKey(Number(id)));
  for (const scope in state.core.spaces)
    for (const id in state.core.spaces[scope]!.ids) visit(pasidKey(scope, Number(id)));
}

/** Devices that somebody has a descriptor of, or that are attached, by name. */
function boundDevices({ files }: ProposalState): string[] {
  const names = Object.values(files).flatMap(({ kind, device, spaces }) => [
    ...(kind === 'device' ? [device] : []),
    ...Object.values(spaces).flatMap(devicesOn),
  ]);
  return [...new Set(names)].sort();
}

export function visitProposalReferences(kernel: Kernel, state: ProposalState, visit: ReferenceVisitor): void {
  for (const pid in state.descriptors) {
    const descriptors = state.descriptors[pid]!;
    for (const fd in descriptors) {
      const file = state.files[descriptors[fd]!];
      if (file !== undefined && file.kind !== 'other')
        visit(processKey(Number(pid)), `descriptor ${fd}`, fileKey(file.id));
    }
  }
  for (const key in state.files) fromFile(state, state.files[key]!, visit);
  const bound = new Set(boundDevices(state));
  for (const { name, group } of deviceFacts(kernel.machine)) {
    if (state.groups[group] !== undefined && bound.has(name))
      visit(namedDeviceKey(name), 'belongs to', groupKey(group));
  }
  for (const scope in state.core.spaces) {
    const { ids } = state.core.spaces[scope]!;
    for (const id in ids) visit(pasidKey(scope, Number(id)), 'of set', setKey(ids[id]!.set));
  }
}

function fromFile({ core }: ProposalState, file: ProposalFile, visit: ReferenceVisitor): void {
  const from = fileKey(file.id);
  if (file.kind === 'device') visit(from, 'is', namedDeviceKey(file.device));
  for (const { iommu, cookie } of file.bindings)
    visit(from, cookie === '' ? 'bound to' : `bound as ${cookie} to`, fileKey(iommu));
  if (file.set !== 0 && core.sets[file.set] !== undefined) visit(from, 'takes PASIDs from', setKey(file.set));
  for (const guest in file.translations) {
    const { iommu, ioas } = file.translations[guest]!;
    visit(from, `translates PASID ${guest} to`, spaceKey(iommu, ioas));
  }
  for (const id in file.spaces) {
    const space = file.spaces[id]!;
    const key = spaceKey(file.id, space.id);
    if (space.parent !== null) visit(key, 'nested on', spaceKey(file.id, space.parent));
    for (const { device, guest, host, scope } of attachmentsOf(space)) {
      const by = guest === null && host === null ? 'RID' : `PASID ${guest ?? host}`;
      visit(namedDeviceKey(device), `attached by ${by} to`, key, guest ?? host ?? 0);
      if (host !== null && scope !== '' && core.spaces[scope]?.ids[host] !== undefined)
        visit(key, 'reached by', pasidKey(scope, host));
    }
  }
}

/** The nodes with their facts, in the order of visitProposalNodes. */
export function proposalNodes(state: ProposalState): NodeFacts[] {
  const files = Object.values(state.files).filter(({ kind }) => kind !== 'other');
  return [
    ...files.flatMap((file) => [
      fileNode(file),
      ...Object.values(file.spaces).map((space) => spaceNode(file, space.id)),
    ]),
    ...Object.entries(state.groups).map(
      ([group, { lifecycle, bound, attached }]): NodeFacts => ({
        ...node(groupKey(Number(group)), 'group', `group ${group}`, { bound, attached }),
        state: proposalGroupLifecycle.flat.states[lifecycle] ?? null,
      }),
    ),
    ...boundDevices(state).map((name) => node(namedDeviceKey(name), 'device-function', `device ${name}`)),
    ...Object.values(state.core.sets).map(({ id, type, quota, count }) =>
      node(setKey(id), 'pasid-set', `PASID set ${id}`, { type, quota, count }),
    ),
    ...Object.entries(state.core.spaces).flatMap(([scope, { ids }]) =>
      Object.values(ids).map(({ id, refs, spid, isCached }) =>
        node(pasidKey(scope, id), 'pasid', `PASID ${id}`, {
          scope,
          references: refs,
          ...(spid === null ? {} : { guest: spid }),
          ...(isCached ? { cached: true } : {}),
        }),
      ),
    ),
  ];
}

function node(
  key: string,
  kind: NodeFacts['kind'],
  label: string,
  facts: NodeFacts['facts'] = {},
): NodeFacts {
  return { key, kind, label, state: null, context: 0, id: 0, facts, owner: null };
}

const FILE_LABELS = {
  iommu: 'IOASID descriptor',
  device: 'device descriptor',
  kvm: 'VM',
  container: 'container descriptor',
  group: 'group descriptor',
  other: 'file',
} as const;

function fileNode({ id, kind, owner, refs, faults, translates, registered }: ProposalFile): NodeFacts {
  const facts: Record<string, FactValue> = { openedBy: owner, descriptors: refs };
  if (faults.length > 0) facts['unanswered'] = faults.length;
  if (registered.length > 0) facts['registered'] = registered.length;
  if (kind === 'kvm') facts['translates'] = translates;
  return {
    ...node(fileKey(id), kind === 'kvm' ? 'vm' : 'descriptor', `${FILE_LABELS[kind]} ${id}`, facts),
    id,
  };
}

function spaceNode(file: ProposalFile, id: number): NodeFacts {
  const { lifecycle, kind, table, maps, enforcesSnoop, addressWidth, parent } = file.spaces[id]!;
  const hex = (page: number): string => `0x${(BigInt(page) * 4096n).toString(16)}`;
  const facts: Record<string, FactValue> = {
    kind,
    enforcesSnoop,
    ...(addressWidth === 0 ? {} : { addressWidth }),
    ...(table === null ? {} : { table: `${table.address} (${table.format})` }),
    maps: maps.map(
      ({ iovaPage, pages, targetPage }) => `${hex(iovaPage)}+${hex(pages)} to ${hex(targetPage)}`,
    ),
  };
  return {
    ...node(spaceKey(file.id, id), 'io-address-space', `IOASID ${id}`, facts),
    id,
    state: proposalIoasLifecycle.flat.states[lifecycle] ?? null,
    owner: parent === null ? fileKey(file.id) : spaceKey(file.id, parent),
  };
}
