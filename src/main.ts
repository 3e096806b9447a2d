#!/usr/bin/env node
/** The production entry: everything comes from the environment. */
import { keepCompiledCode } from './compile-cache.js';

keepCompiledCode();
const { start } = await import('./start.js');
await start(process.env);
