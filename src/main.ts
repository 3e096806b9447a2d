#!/usr/bin/env node
/** The production entry: everything comes from the environment. */
import { serve } from './serve.js';

await serve(process.env);
