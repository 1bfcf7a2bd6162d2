//! Links: who gets in, what gets through.

mod support;

use support::{Swarm, name, run};
use testudo_bus::client::Outgoing;
use testudo_bus::transport::Socket;
use testudo_wire::{Capability, ContentType};

#[test]
fn a_request_is_answered_over_a_real_link() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let swarm = Swarm::new();
        let node = swarm.node(dir.path(), Socket::Udp(std::net::UdpSocket::bind("127.0.0.1:0").unwrap()));
        let address = node.local_addr().unwrap();
        let asker = swarm.enrol(&node, "asker", &["read:logs"], &[]).await;
        let reader = swarm.enrol(&node, "reader", &["write:nothing"], &["read:logs"]).await;
        let (asker, _deliveries) = swarm.connect(asker, address).await.unwrap();
        let (reader, mut asked) = swarm.connect(reader, address).await.unwrap();
        let answering = tokio::spawn(async move {
            let request = asked.next().await.unwrap();
            assert_eq!(request.body(), "question");
            reader.reply(&request, ContentType::text(), "answer").await.unwrap();
            asked.next().await
        });
        let capability = Capability::parse("read:logs").unwrap();
        let mut message = Outgoing::new(name("reader"), capability, "question");
        message.content_type = ContentType::text();
        let answer = asker.request(message.clone()).await.unwrap();
        assert_eq!(answer.body(), "answer");
        let receipt = asker.tell(message).await.unwrap();
        assert!(receipt.record > 0);
        asker.flush().await;
        asker.goodbye().await;
        let account = node.shut_down().await;
        assert!(account.is_balanced(), "{account:?}");
        assert_eq!((account.submitted, account.delivered), (3, 3), "{account:?}");
        assert!(answering.await.unwrap().is_some());
    });
}
