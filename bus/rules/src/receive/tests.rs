//! The receive, stage by stage, through its public doors.
