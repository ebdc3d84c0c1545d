/** What `ioasis machines` prints. */
import { describe, expect, test } from 'vitest';
import { lifecycles, renderJson, renderMermaid } from '../../machines/index.ts';

/** The shape of the JSON that the CLI promises. */
interface MachineJson {
  readonly name: string;
  readonly initial: string;
  readonly states: readonly { name: string; final: boolean; refuses: readonly string[] }[];
  readonly events: readonly { name: string; guards: readonly string[] }[];
  readonly transitions: readonly { from: string; event: string; when: readonly string[]; to: string }[];
}

function parse(json: string): MachineJson {
  return JSON.parse(json);
}

describe('renderMermaid', () => {
  test('draws the context', () => {
    expect(renderMermaid(lifecycles.context.flat)).toMatchInlineSnapshot(`
      "stateDiagram-v2
        [*] --> open
        open --> open : CALL, HOLDER_CALL
        open --> orphan : CLOSE [referenced]
        open --> released : CLOSE [!referenced]
        orphan --> orphan : HOLDER_CALL
        orphan --> released : LAST_REFERENCE_DROPPED
        released --> [*]
      "
    `);
  });

  test('draws the device', () => {
    expect(renderMermaid(lifecycles.device.flat)).toMatchInlineSnapshot(`
      "stateDiagram-v2
        [*] --> bound
        bound --> bound : USE
        bound --> attached : ATTACH
        bound --> unbound : UNBIND
        attached --> attached : USE, ATTACH, REPLACE, DETACH [!last]
        attached --> bound : DETACH [last]
        unbound --> [*]
      "
    `);
  });

  test('joins the guards that decide together', () => {
    const text = renderMermaid(lifecycles.attachmentSlot.flat);
    expect(text).toContain('  held --> free : DETACH [member & last]\n');
    expect(text).toContain('REPLACE [member & sameHwpt], REPLACE [member & !sameHwpt & compatible]');
  });

  test('prints the same text each time and names every state', () => {
    for (const { flat } of Object.values(lifecycles)) {
      const text = renderMermaid(flat);
      expect(renderMermaid(flat)).toBe(text);
      for (const state of flat.states) expect(text).toMatch(new RegExp(`\\b${state}\\b`));
    }
  });
});

describe('renderJson', () => {
  test('lists the arrows and what each state refuses', () => {
    const device = parse(renderJson(lifecycles.device.flat));
    expect(device.initial).toBe('bound');
    expect(device.states[0]).toEqual({
      name: 'bound',
      final: false,
      refuses: ['BIND', 'REPLACE', 'DETACH', 'DESTROY'],
    });
    expect(device.events[4]).toEqual({ name: 'DETACH', guards: ['last'] });
    expect(device.transitions).toContainEqual({
      from: 'attached',
      event: 'DETACH',
      when: ['last'],
      to: 'bound',
    });
  });

  test('has an arrow for every accepted entry of the table and none for a refused one', () => {
    for (const { flat } of Object.values(lifecycles)) {
      const { transitions } = parse(renderJson(flat));
      for (const [index, next] of flat.next.entries()) {
        const bits = index & ((1 << flat.guards.length) - 1);
        const event = flat.events[(index >>> flat.guards.length) % flat.events.length];
        const from = flat.states[Math.floor((index >>> flat.guards.length) / flat.events.length)];
        const holds = (guard: string): boolean =>
          guard.startsWith('!')
            ? (bits & (1 << flat.guards.indexOf(guard.slice(1)))) === 0
            : (bits & (1 << flat.guards.indexOf(guard))) !== 0;
        const arrows = transitions.filter((t) => t.from === from && t.event === event && t.when.every(holds));
        expect(arrows.map((t) => t.to)).toEqual(next < 0 ? [] : [flat.states[next]]);
      }
    }
  });
});
