import { rivals } from '../rivals/index.ts'
import type { System } from '../system.ts'
import { gatepass } from './gatepass/index.ts'

/** What goes through the surge, in this order. The load is fitted to what the first one takes. */
export const systems: readonly System[] = [gatepass, ...rivals]
