//! DescribeCluster (API key 60): the cluster in short.

use super::prelude::*;

message! {
    /// Asks for brokers, or controllers.
    request DescribeClusterRequest of DescribeCluster, versions 0..=2, flexible 0.. {
        include_cluster_authorized_operations: bool,
        endpoint_type: i8 [1..] = 1,
        include_fenced_brokers: bool [2..],
    }
}

message! {
    /// The cluster's id, controller and brokers.
    response DescribeClusterResponse<'a> of DescribeCluster, versions 0..=2, flexible 0.. {
        throttle_time_ms: i32,
        error_code: i16,
        error_message: Option<&'a str>,
        endpoint_type: i8 [1..] = 1,
        cluster_id: &'a str,
        controller_id: i32 = -1,
        brokers: Vec<DescribeClusterBroker<'a>>,
        cluster_authorized_operations: i32 = i32::MIN,
    }

    /// A broker and where it is reached.
    part DescribeClusterBroker<'a> {
        broker_id: i32,
        host: &'a str,
        port: i32,
        rack: Option<&'a str>,
        is_fenced: bool [2..],
    }
}
