import { quote } from '../quote.js';

/** A text as it stands, what stands within `${…}`, or what is wrong with the rest. */
export interface TemplatePiece {
  readonly kind: 'text' | 'part' | 'fault';
  readonly text: string;
}

/**
 * Takes a template apart. A fault is the last piece.
 *
 *     templatePieces('order-${path.id}')   // { kind: 'text', text: 'order-' }, { kind: 'part', text: 'path.id' }
 */
export function* templatePieces(template: string): Generator<TemplatePiece, void> {
  let rest = template;
  while (rest !== '') {
    const start = rest.indexOf('${');
    if (start !== 0) yield { kind: 'text', text: start < 0 ? rest : rest.slice(0, start) };
    if (start < 0) return;
    const end = rest.indexOf('}', start);
    if (end < 0) {
      yield { kind: 'fault', text: `${quote(template)} has a "\${" that is not closed` };
      return;
    }
    yield { kind: 'part', text: rest.slice(start + 2, end) };
    rest = rest.slice(end + 1);
  }
}
