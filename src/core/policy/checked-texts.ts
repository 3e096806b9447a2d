import type { CasbinModel } from '../casbin/casbin-model.js';
import type { ReportProblem } from '../casbin/document-problem.js';
import type { Manifest } from '../manifest/manifest.js';
import type { AttributeSchema } from '../manifest/schema.js';
import type { NamedText } from '../manifest/yaml-document.js';
import type { Combination } from './combination.js';

/** What is read of a set to find in all its texts what they may not name. */
export interface CheckedTexts {
  readonly model: CasbinModel;
  readonly manifest: Manifest;
  readonly main: Combination;
  readonly schema: AttributeSchema;
  /** The text that the schema was read from, for places in it. */
  readonly schemaText: NamedText | undefined;
  /** The files that the rules were read from, for places in them. */
  readonly rules: readonly NamedText[];
  readonly report: ReportProblem;
}
