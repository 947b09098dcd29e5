/** For a script tag: what the module exports, as the global `gatepass`. */
import { AuthClientError, createAuthClient } from './index.ts'

Object.assign(globalThis, { gatepass: { AuthClientError, createAuthClient } })
