#!/usr/bin/env node
/** The production entry: everything comes from the environment. */
import { keepCompiledCode } from './compile-cache.js';

keepCompiledCode();
const { serve } = await import('./serve.js');
await serve(process.env);
