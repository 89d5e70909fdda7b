-- Table of the sink `postgres`. The primary key recognises repetitions: a row whose uid is there is left out.
CREATE TABLE IF NOT EXISTS public.pingone_events
(
    event_uid      text        PRIMARY KEY,
    event_id       text        NOT NULL,
    time           timestamptz NOT NULL,
    recorded_at    timestamptz NOT NULL,
    action_type    text        NOT NULL,
    outcome        text        NOT NULL,
    severity       text        NOT NULL,
    environment_id text,
    interaction_id text,
    flow_id        text,
    source         text        NOT NULL,
    event          jsonb       NOT NULL
);

CREATE INDEX IF NOT EXISTS pingone_events_time ON public.pingone_events USING brin (time);
CREATE INDEX IF NOT EXISTS pingone_events_interaction ON public.pingone_events (interaction_id)
    WHERE interaction_id IS NOT NULL;
