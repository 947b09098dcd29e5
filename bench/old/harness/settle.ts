import { AsyncResource } from 'node:async_hooks'

/**
 * Loaded first in each process that is measured. V8 either compiles the object that
 * `process.nextTick` makes, or makes it by a call into the runtime, for good: the first if
 * the numbers in it were doubles when it first looked, the second if they become so later. That is chance,
 * changes with what is imported, and is worth 2 µs a request, of 12. After some
 * hundred resources they are doubles.
 */
const resources = 1000

for (let made = 0; made < resources; made += 1) new AsyncResource('settle')
