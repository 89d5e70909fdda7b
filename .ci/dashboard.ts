// Types of Grafana for deploy/grafana/dashboard.json, which .ci/dashboard appends to this file: the compiler then refuses
// unknown fields, wrong types and unknown words.
import type { AnnotationQuery, Dashboard, Panel, RowPanel } from '@grafana/schema';
import type { Options as StatOptions } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type { Options as SeriesOptions } from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

// JSON contains the text of an enum, and the compiler wants its name.
type Json<T> = T extends string ? `${T}` : T extends object ? { [K in keyof T]: Json<T[K]> } : T;
// A panel contains only the options that differ from their defaults.
type Some<T> = T extends string | unknown[] ? T : T extends object ? { [K in keyof T]?: Some<T[K]> } : T;

// Grafana's schema leaves queries to the data sources.
interface PrometheusQuery {
    refId: string;
    expr: string;
    legendFormat: string;
    datasource: { type: 'prometheus'; uid: '${datasource}' };
}

type Common = Omit<Json<Panel>, 'options' | 'targets' | 'type' | 'description'> & {
    description: string;
    targets: PrometheusQuery[];
};
type KnownPanel =
    | Json<RowPanel>
    | (Common & { type: 'stat'; options: Some<Json<StatOptions>> })
    | (Common & { type: 'timeseries'; options: Some<Json<SeriesOptions>> });
type Annotation = Omit<Json<AnnotationQuery>, 'target'> & { titleFormat: string; target: PrometheusQuery };

export const dashboard: Omit<Json<Dashboard>, 'panels' | 'annotations'> & {
    panels: KnownPanel[];
    annotations: { list: Annotation[] };
} =
