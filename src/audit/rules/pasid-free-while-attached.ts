import { callName } from '../../../replay/index.ts';
import { CMD } from '../../uapi/index.ts';
import type { PasidEvent } from '../event.ts';
import { attachedLink } from '../lint/attachments.ts';
import { objectOf } from '../lint/holders.ts';
import { argU32, contextOf } from '../lint/lint-call.ts';
import { hereLink } from '../lint/refusal.ts';
import type { LintWorld, Report, Rule } from '../lint/rule.ts';
import { listed, text } from '../lint/text.ts';

/** Offset of the id in struct iommu_destroy. */
const ID = 4;

/** A function on which a PASID is in use, since which call. */
type Users = Map<string, number>;

export const pasidFreeWhileAttached: Rule = {
  id: 'pasid-free-while-attached',
  severity: 'error',
  title: 'A PASID is freed while a device still uses it',
  doc: {
    detects: text(
      'A PASID that is freed while it is attached or bound on a device (the generations of 2020 and',
      '2021, which allocate PASIDs), and a device of the selftest that is destroyed with PASIDs',
      'attached.',
    ),
    why: text(
      'The number can go to another holder while the device still sends requests with it: they reach',
      'the address space of the new one. In the selftest the kernel warns and leaks the device.',
    ),
    fix: 'Detach or unbind the PASID on every device first, then free it.',
    falseAlarms: text(
      'ioasid V4 defers the free until the last user has put the number: correct then, and still an',
      'order that a program should not rely on.',
    ),
    source: 'ioasid V4 (2021) ioasid_free; selftest.c iommufd_selftest_destroy; reference 2.20',
  },
  start(world, report) {
    const users = new Map<string, Users>();
    world.pasids.onEvent((event) => follow(report, users, event));
    let held: ReturnType<LintWorld['attachments']['of']> = [];
    return {
      before: {
        [CMD.IOMMU_DESTROY]: (call) => {
          const context = contextOf(world.kernel, call);
          const object = objectOf(world.kernel, context, argU32(call, ID));
          const device = object?.type === 'selftest' ? object.device : 0;
          const slots = device === 0 ? [] : world.attachments.of(context, device);
          held = slots.filter(({ pasid }) => pasid !== 0);
        },
      },
      after: {
        [CMD.IOMMU_DESTROY]: (call) => {
          if (held.length === 0 || call.errno !== 0) return;
          report({
            message: text(
              `device ${held[0]!.device} is destroyed with`,
              `${listed(held.map(({ pasid }) => `PASID ${pasid}`))} attached`,
            ),
            chain: [...held.map(attachedLink), hereLink(world, 'destroyed', callName(call.record))],
          });
        },
      },
    };
  },
};

function follow(report: Report, users: Map<string, Users>, event: PasidEvent): void {
  const { what, space, pasid, target, call } = event;
  const key = `${space.kind} ${space.name} ${pasid}`;
  const held = users.get(key) ?? new Map<string, number>();
  if ((what === 'attach' || what === 'bind' || what === 'replace') && target !== null) {
    users.set(key, held.set(target.function, call.seq));
  } else if ((what === 'detach' || what === 'unbind') && target !== null) {
    held.delete(target.function);
  } else if ((what === 'free' || what === 'free-pending') && held.size > 0) {
    const names = [...held.keys()];
    const how = what === 'free' ? '' : ', and waits for them';
    report({
      seq: call.seq,
      message: text(
        `PASID ${pasid} is freed while ${listed(names)}`,
        `still use${names.length === 1 ? 's' : ''} it${how}`,
      ),
      chain: [
        ...[...held].map(([name, seq]) => ({ seq, role: 'attached', says: `PASID ${pasid} on ${name}` })),
        { seq: call.seq, role: 'freed', says: `${call.name} frees PASID ${pasid}` },
      ],
    });
  }
}
