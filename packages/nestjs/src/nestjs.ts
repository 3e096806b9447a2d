/**
 * Verdict for NestJS: a global guard, closed by default, and decorators that say what a handler needs.
 *
 *     @Controller('invoices')
 *     export class InvoicesController {
 *       @Get(':id')
 *       @Authorize('read', 'invoice', { id: 'id' })
 *       read(@Param('id') id: string) { … }
 *     }
 *
 * No user is 401, a deny 403, no answer 503. Why is in the log, and not in the answer.
 */
export type { Call, Params } from './call.js';
export { Authorize, Decided, Public, Subject } from './decorators.js';
export { VerdictGuard } from './guard.js';
export type { Obligation, ObligationHandler, ObligationHandlers, Obliged } from './obligations.js';
export type { ClientOptions, HttpOptions, LocalOptions, QuestionSettings, VerdictModuleOptions } from './options.js';
export type { AuthorizeOptions } from './rules.js';
export type { DecisionSource, Outcomes } from './source.js';
export { VerdictModule } from './verdict.module.js';
export { type FilterQuestion, VerdictService } from './verdict.service.js';
