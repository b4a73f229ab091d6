/** What the gateway answers, for the type checker alone: `tsc --project jsconfig.json`. */

interface About {
  max_picture_bytes: number;
  media_types: string[];
  samples: { name: string; url: string }[];
  described?: boolean;
}

interface Recent {
  failed: number;
  rate_per_s: number;
  p50_ms: number | null;
  p99_ms: number | null;
}

interface Replica {
  url: string;
  state: string;
  reason: string | null;
  version: string | null;
  feature_space: string | null;
  models?: { name: string; version: string }[];
  breaker: string;
  breaker_retry_in_s: number;
  in_flight: number;
  attempts?: Record<string, number>;
  latency_ms: number | null;
}

interface Stage {
  name: string;
  ready: boolean;
  recent?: Recent;
  replicas: Replica[];
}

interface Pipeline {
  ready: boolean;
  reason: string | null;
  gateway?: { version: string; requests: Record<string, number>; recent: Recent };
  admission: { limit: number; in_flight: number; queued: number; turned_away: Record<string, number> };
  stages: Stage[];
}

interface Attempt {
  start_ms: number;
  ms: number;
  outcome: string;
  number: number;
  replica: number;
  is_hedge: boolean;
}

interface Hop {
  stage: string;
  start_ms: number;
  ms: number;
  outcome: string;
  attempts: Attempt[];
}

type StageTimings = Record<string, number | undefined>;

/** An answer of `/v1/classify`. */
interface Classified {
  id: string;
  label: string;
  confidence: number;
  predictions: { label: string; confidence: number }[];
  model: Record<string, string>;
  timings_ms: { total: number } & Record<string, any>;
  timeline?: Hop[];
}

/** Problem details. */
interface Problem {
  code?: string;
  stage?: string | null;
  detail?: string;
  retryable?: boolean;
  status?: number;
  id?: string;
  timeline?: Hop[];
}
