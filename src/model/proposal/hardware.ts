import type { Kernel } from '../kernel.ts';
import { groupState } from './binding.ts';
import { deviceFacts } from './facts.ts';
import { composed } from './maps.ts';
import type { Ioas, Mapping, ProposalFile, ProposalState } from './state.ts';

/** What IOMMU and CPU would hold, as text: one line for each entry, in a fixed order. */

const hex = (page: number): string => `0x${(BigInt(page) * 4096n).toString(16)}`;

/** Groups, context and PASID entries with their translations, and the CPU's PASID tables. */
export function renderHardware(kernel: Kernel): string {
  const state = kernel.state.proposal;
  if (state === undefined) return '';
  return [...groupLines(kernel, state), ...slotLines(state), ...cpuLines(state), ...findingLines(state)]
    .map((line) => `${line}\n`)
    .join('');
}

function groupLines(kernel: Kernel, state: ProposalState): string[] {
  return Object.entries(state.groups).map(([number, group]) => {
    const names = deviceFacts(kernel.machine)
      .filter((device) => device.group === Number(number))
      .map(({ name }) => name);
    return `group ${number} (${names.join(', ')}): DMA ${groupState(group)}`;
  });
}

function slotLines({ slots, files }: ProposalState): string[] {
  const keys = Object.keys(slots).sort();
  return keys.flatMap((key) => {
    const { iommu, stack, device } = slots[key]!;
    const file = files[iommu]!;
    const spaces = stack.map((id) => file.spaces[id]!);
    const top = spaces.at(-1)!;
    const by = key.startsWith(device) ? '' : ` of ${device}`;
    const entry = `entry ${key}${by}: ioasid ${top.id} of file ${iommu}`;
    return [entry, ...translationLines(file, top).map((line) => `  ${line}`)];
  });
}

/** First-level table of the user over the parent's, or what the kernel composed. */
function translationLines(file: ProposalFile, ioas: Ioas): string[] {
  if (ioas.table !== null && ioas.parent !== null) {
    const { address, format } = ioas.table;
    const what = ioas.kind === 'pasid-table' ? 'PASID table' : 'page table';
    const below = translationLines(file, file.spaces[ioas.parent]!);
    return [`${what} of the user at ${address} (${format}), nested on ioasid ${ioas.parent}`, ...below];
  }
  const how = ioas.parent === null ? 'table of the kernel' : 'shadow table of the kernel';
  return [how, ...composed(file, ioas).map(mappingLine)];
}

function mappingLine({ iovaPage, pages, targetPage, flags }: Mapping): string {
  const access = `${(flags & 1) === 0 ? '' : 'r'}${(flags & 2) === 0 ? '' : 'w'}`;
  return `${hex(iovaPage)} + ${hex(pages)} -> ${hex(targetPage)} ${access}`;
}

function cpuLines({ files }: ProposalState): string[] {
  return Object.values(files).flatMap(({ id, kind, translates, translations }) => {
    if (kind !== 'kvm') return [];
    const entries = Object.entries(translations).map(([guest, { host }]) => `  PASID ${guest} -> ${host}`);
    return [`CPU of VM ${id}${translates ? ', translation on' : ''}:`, ...entries];
  });
}

function findingLines({ findings }: ProposalState): string[] {
  return findings.map(({ id, seq, says }) => `finding ${id} at call ${seq}: ${says}`);
}
