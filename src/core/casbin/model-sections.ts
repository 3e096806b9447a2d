/** The sections of a model, by the letter that their keys start with. */
export type Section = 'r' | 'p' | 'g' | 'e' | 'm' | 'c';

export const sectionNames: Readonly<Record<Section, string>> = {
  r: 'request_definition',
  p: 'policy_definition',
  g: 'role_definition',
  e: 'policy_effect',
  m: 'matchers',
  c: 'constraint_definition',
};

export const sections = Object.keys(sectionNames) as readonly Section[];
export const requiredSections: ReadonlySet<Section> = new Set(['r', 'p', 'e', 'm']);
