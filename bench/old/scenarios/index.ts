import type { Scenario } from '../harness/scenario.ts'
import { dataAway, dataChange, dataRead, dataWrites } from './data.ts'
import { dataSize } from './data-size.ts'
import { jwks } from './jwks.ts'
import { login } from './login.ts'
import { peers } from './peers.ts'
import { refresh } from './refresh.ts'
import { refreshScale } from './refresh-scale.ts'
import { refreshStores } from './refresh-stores.ts'
import { refreshStorm } from './refresh-storm.ts'
import { revocation } from './revocation.ts'
import { sessionSize } from './session-size.ts'
import { startup } from './startup.ts'
import { verify } from './verify.ts'
import { verifyLoop } from './verify-loop.ts'
import { verifyMemory } from './verify-memory.ts'

export const scenarios: readonly Scenario[] = [
  verify,
  verifyLoop,
  verifyMemory,
  login,
  refresh,
  refreshStores,
  refreshStorm,
  ...refreshScale,
  sessionSize,
  dataRead,
  dataChange,
  dataWrites,
  dataAway,
  dataSize,
  jwks,
  revocation,
  startup,
  ...peers,
]
