import { AsyncResource } from 'node:async_hooks'

/**
 * Loaded first in each measured process. V8 decides once how it creates the object of
 * `process.nextTick`: by whether the ids of async resources are doubles at that time. The decision is
 * random and worth 2 µs of a request of 12. After some hundred resources the ids are always doubles.
 */
const resources = 1000

for (let made = 0; made < resources; made += 1) new AsyncResource('settle')
