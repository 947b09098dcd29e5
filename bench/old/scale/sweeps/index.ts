import type { Sweep } from '../sweep.ts'
import { replicas } from './replicas.ts'
import { revocations } from './revocations.ts'
import { sessionSweeps } from './sessions.ts'
import { signIn } from './sign-in.ts'
import { tokens } from './tokens.ts'

export const sweeps: readonly Sweep[] = [...sessionSweeps, signIn, replicas, tokens, revocations]
