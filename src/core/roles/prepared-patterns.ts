/** The patterns of a policy set, each prepared once and shared. */
import type { PreparedPattern, PreparedPatterns } from '../matcher/environment.js';
import { type FunctionDefinition, FunctionError } from '../matcher/functions/function-definition.js';
import { beforeQuery, isExactPattern } from '../matcher/pattern-key.js';
import { stepsForText } from '../step-budget.js';

/** Keyed by texts of the policy only, so it cannot grow beyond the policy. */
export class PatternLibrary implements PreparedPatterns {
  private readonly prepared = new Map<FunctionDefinition, Map<string, PreparedPattern>>();

  find(definition: FunctionDefinition, pattern: string): PreparedPattern {
    // Not kept: most of a million paths are not patterns.
    if (isExactPattern(definition.name, pattern)) return exactly(definition.name, pattern);
    let patterns = this.prepared.get(definition);
    if (patterns === undefined) {
      patterns = new Map();
      this.prepared.set(definition, patterns);
    }
    let found = patterns.get(pattern);
    if (found === undefined) {
      found = prepare(definition, pattern);
      patterns.set(pattern, found);
    }
    return found;
  }
}

function exactly(name: string, pattern: string): PreparedPattern {
  const steps = 2 + stepsForText(pattern.length);
  const given = name === 'keyMatch5' ? beforeQuery : (text: string) => text;
  return {
    matches: (text, meter) => {
      meter.spend(steps);
      return given(text) === pattern;
    },
  };
}

function prepare(definition: FunctionDefinition, pattern: string): PreparedPattern {
  try {
    return { matches: (definition.prepare as NonNullable<FunctionDefinition['prepare']>)(pattern) };
  } catch (error) {
    if (!(error instanceof FunctionError)) throw error;
    return { matches: undefined, message: error.message };
  }
}
