/** What the parts of the module are injected by, beside their classes. */
export const settingsToken = Symbol('verdict settings');
export const sourceToken = Symbol('verdict source');
