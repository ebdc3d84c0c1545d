import type { ProcessLimits } from './accounting-state.ts';
import { deviceName } from './drivers/facts.ts';
import type { Kernel } from './kernel.ts';
import { rangeText } from './object-facts.ts';
import type { LearnedFacts } from './state.ts';
import { createPciFacts, type PciFacts } from './vfio-pci/index.ts';

/** One fact of the hardware, or of a process, that no record told, taken from replies. */
export interface LearnedFact {
  /** The IOMMU, device or process it is about: an instance name, a PCI address or path of a device, a pid. */
  readonly owner: string;
  readonly fact: string;
  readonly value: string;
}

/** All facts that a replay has learned so far, by owner in the order of their text, then as learned. */
export function learnedFacts(kernel: Kernel): LearnedFact[] {
  const facts = Object.entries(kernel.state.learned).flatMap(([owner, learned]) => ofIommu(owner, learned));
  for (const [index, device] of Object.entries(kernel.state.vfio.devices)) {
    const physical = kernel.machine.devices[Number(index)];
    if (physical !== undefined) facts.push(...ofPci(deviceName(physical), device.facts));
  }
  for (const [pid, { limits }] of Object.entries(kernel.state.processes)) {
    if (limits?.learned) facts.push(...ofProcess(`process ${pid}`, limits));
  }
  return facts.sort((a, b) => (a.owner < b.owner ? -1 : a.owner > b.owner ? 1 : 0));
}

function ofProcess(owner: string, { memlockPages, sysResource }: ProcessLimits): LearnedFact[] {
  const facts: LearnedFact[] = [];
  if (memlockPages !== null)
    facts.push({ owner, fact: 'locked memory', value: `${memlockPages} pages at most` });
  if (!sysResource) facts.push({ owner, fact: 'CAP_SYS_RESOURCE', value: 'no' });
  return facts;
}

function ofIommu(owner: string, { aperture, pasids, hwInfo, can }: LearnedFacts): LearnedFact[] {
  const facts: LearnedFact[] = [];
  if (aperture !== undefined) facts.push({ owner, fact: 'aperture', value: rangeText(aperture) });
  if (pasids !== undefined) facts.push({ owner, fact: 'PASIDs', value: String(pasids) });
  if (hwInfo !== undefined) facts.push({ owner, fact: 'hardware information', value: hwInfo });
  for (const [fact, value] of Object.entries(can)) facts.push({ owner, fact, value: value ? 'yes' : 'no' });
  return facts;
}

/** What differs from a device of which nothing is known. */
function ofPci(owner: string, { regions, irqs, ...single }: PciFacts): LearnedFact[] {
  const unknown = createPciFacts(single.address);
  const facts: LearnedFact[] = Object.entries(regions).map(([index, { sizeBytes, flags }]) => ({
    owner,
    fact: `region ${index}`,
    value: `${sizeBytes} bytes, flags 0x${flags.toString(16)}`,
  }));
  for (const [index, irq] of irqs.entries()) {
    if (JSON.stringify(irq) === JSON.stringify(unknown.irqs[index])) continue;
    const value = irq.count === null ? `${irq.atLeast} vectors at least` : `${irq.count} vectors`;
    facts.push({ owner, fact: `interrupt ${index}`, value });
  }
  for (const [key, value] of Object.entries(single)) {
    if (JSON.stringify(value) === JSON.stringify(unknown[key as keyof typeof single])) continue;
    facts.push({ owner, fact: inWords(key), value: textOf(value) });
  }
  return facts;
}

/** `romAbsent` as `rom absent`. */
function inWords(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function textOf(value: unknown): string {
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
