import type { IotlbStep } from '../../../replay/index.ts';
import { functionName } from '../lint/bound.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { hex, text } from '../lint/text.ts';
import { unmappedStory } from '../lint/unmapped-story.ts';

/** Findings of one device, beyond which they are not told: a runaway engine makes thousands. */
const MOST = 64;

export const dmaToUnmapped: Rule = {
  id: 'dma-to-unmapped',
  severity: 'error',
  title: 'A device accesses an address that is not mapped for it',
  doc: {
    detects: text(
      'An access of a device (`dma` records, notes of test programs) for which a walk of its page',
      'tables ends in a fault: nothing is mapped there (any more), or without the permission; or the',
      'device has no page table. One finding for each page and call; the chain has the unmap that',
      'took the page away.',
    ),
    why: text(
      'The access faults: the device gets an error or garbage, and stops. Right after an unmap it',
      'shows that the device was not stopped first; before the fault it may have reached the memory',
      'through the IOTLB.',
    ),
    fix: text(
      'Stop the device, or wait for its transfers, before the memory is unmapped; map before the',
      'address is given to the device, with WRITEABLE when it writes.',
    ),
    falseAlarms: text(
      'A test of faults. An address that the trace does not know well: an engine that shortens it.',
    ),
    source: 'replay/hardware: walks of the tables that the calls make',
  },
  seesCaches: true,
  start(world, report) {
    const told = new Map<number, number>();
    world.iotlb?.onStep((step) => lookAt(world, report, told, step));
    return {};
  },
};

function lookAt(
  world: LintWorld,
  report: Report,
  told: Map<number, number>,
  { seq, accesses }: IotlbStep,
): void {
  for (const { device, pasid, page, access, outcome } of accesses) {
    if (outcome !== 'fault') continue;
    const before = told.get(device) ?? 0;
    told.set(device, before + 1);
    if (before >= MOST) return;
    const what = access === 'w' ? 'writes to' : access === 'x' ? 'fetches from' : 'reads from';
    const who = pasid === 0 ? functionName(world, device) : `${functionName(world, device)} (PASID ${pasid})`;
    const { why, chain } = unmappedStory(world, device, pasid, page);
    report({
      seq,
      message: `${who} ${what} ${hex(page * 4096)}, ${why}`,
      chain: [...chain, { seq, role: 'accessed', says: `${what} ${hex(page * 4096)}` }],
    });
  }
}
