/** What a PromQL expression reads, by Prometheus's own grammar. */
import { parser } from '@prometheus-io/lezer-promql';

export interface Matcher {
  readonly label: string;
  readonly operator: string;
  readonly value: string;
}

export interface Selector {
  readonly metric: string;
  readonly matchers: readonly Matcher[];
}

export interface Expression {
  readonly selectors: readonly Selector[];
  /** Labels that it groups or joins by. */
  readonly groupedBy: readonly string[];
}

/** @throws Error when it is not PromQL */
export function parsePromql(text: string): Expression {
  const selectors: { metric: string; matchers: Matcher[] }[] = [];
  const groupedBy: string[] = [];
  parser.parse(text).iterate({
    enter({ type, node, from, to }) {
      if (type.isError) throw new Error(`not PromQL at "${text.slice(from, from + 20)}": ${text}`);
      const own = text.slice(from, to);
      switch (type.name) {
        case 'VectorSelector':
          selectors.push({ metric: '', matchers: [] });
          break;
        case 'Identifier':
          selectors.at(-1)!.metric = own;
          break;
        case 'UnquotedLabelMatcher': {
          const part = (name: string) => {
            const child = node.getChild(name)!;
            return text.slice(child.from, child.to);
          };
          const [label, operator] = [part('LabelName'), part('MatchOp')];
          selectors.at(-1)!.matchers.push({ label, operator, value: JSON.parse(part('StringLiteral')) });
          break;
        }
        case 'LabelName':
          if (node.parent?.type.name === 'GroupingLabels') groupedBy.push(own);
          break;
      }
    },
  });
  return { selectors, groupedBy };
}
